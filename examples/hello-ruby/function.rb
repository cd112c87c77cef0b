def handler(event:, context:)
  name = event.fetch("name", "World")
  puts "greeting #{name}"
  { message: "Hello, #{name}!", from: "Ruby #{RUBY_VERSION}" }
end
