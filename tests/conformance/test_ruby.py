"""Ruby functions on this machine's Ruby."""

import re

from harness import packages
from harness.functions import ruby_version


def publish(client, name, files):
    """A layer with these files; returns its ARN."""
    content = {"ZipFile": packages.package(files)}
    return client.publish_layer_version(LayerName=name, Content=content)["LayerVersionArn"]


def test_the_guides_example(functions, name):
    """LANG1-118, LANG1-121, LANG1-123: a handler of the guide's, with what it prints and returns."""
    source = """
        require 'json'

        def handler(event:, context:)
          puts "## EVENT"
          puts event.to_a
          { event: JSON.generate(event), context: JSON.generate(context.inspect) }
        end
    """
    functions.ruby(name, source)
    result = functions.invoke(name, {"key": "value"})
    assert result.good()["event"] == '{"key":"value"}'
    assert result.value["context"].startswith('"#<LambdaContext:0x')
    assert "## EVENT\nkey\nvalue\nEND RequestId: " in result.log


def test_an_error(functions, name):
    """LANG1-125, LANG1-126, CORE-216: the guide's document and log, and where the code is."""
    functions.ruby(name, 'def handler(event:, context:)\n  puts "Processing event..."\n  [1, 2, 3].first("two")\nend\n')
    result = functions.invoke(name)
    document = result.failed("Function<TypeError>")
    assert document["errorMessage"] == "no implicit conversion of String into Integer"
    assert re.match(r"/var/task/function\.rb:3:in .first'", document["stackTrace"][0].replace("Array#", ""))
    assert "Processing event...\nError raised from handler method\n{\n" in result.log


def test_environment_and_logger(functions, name):
    """LANG1-124, CORE-155: the variables of a Ruby function, and lines of Logger with the request id."""
    source = """
        LOGGER = Logger.new($stdout)

        def handler(event:, context:)
          LOGGER.info('## EVENT')
          %w[AWS_EXECUTION_ENV GEM_PATH RUBYLIB LAMBDA_TASK_ROOT].to_h { |name| [name, ENV[name]] }
        end
    """
    functions.ruby(name, source)
    result = functions.invoke(name)
    running = f"/var/task/vendor/bundle/ruby/{ruby_version()}.0:/opt/ruby/gems/{ruby_version()}.0"
    found = result.good()
    assert found["AWS_EXECUTION_ENV"].startswith("AWS_Lambda_ruby")
    asked = found["AWS_EXECUTION_ENV"].removeprefix("AWS_Lambda_ruby")
    assert found["GEM_PATH"].startswith(f"/var/task/vendor/bundle/ruby/{asked}.0:/opt/ruby/gems/{asked}.0")
    assert found["GEM_PATH"].endswith(running)
    assert found["RUBYLIB"] == "/var/task:/var/runtime/lib:/opt/ruby/lib"
    assert re.search(rf"^I, \[\S+ #\d+\]  INFO {result.request_id} -- : ## EVENT$", result.log, re.M), result.log


def test_gems_and_libraries(functions, lambda_, name):
    """CORE-216, LANG1-035: gems of the package and of a layer, and a layer's plain files."""
    version = f"{ruby_version()}.0"

    def gem(place, word):
        spec = f"Gem::Specification.new {{ |s| s.name = '{word}'; s.version = '1'; s.summary = s.authors = 'x'; s.files = [] }}"
        return {f"{place}/specifications/{word}-1.gemspec": spec, f"{place}/gems/{word}-1/lib/{word}.rb": f"${word} = '{word}'"}

    layer = publish(lambda_, name, {**gem(f"ruby/gems/{version}", "layered"), "ruby/lib/plain.rb": "$plain = 'plain'"})
    source = "%w[bundled layered plain].each { |word| require word }\ndef handler(event:, context:) = [$bundled, $layered, $plain]\n"
    functions.ruby(name, source, files=gem(f"vendor/bundle/ruby/{version}", "bundled"), Layers=[layer])
    assert functions.invoke(name).good() == ["bundled", "layered", "plain"]


def test_broken_handlers(functions, name):
    """LANG2-190, LANG2-191"""
    functions.ruby(name, "def handler(event:, context:) = 1\n", handler="nothing.handler")
    assert "cannot load such file -- nothing" in functions.invoke(name).failed("Init<LoadError>")["errorMessage"]
    functions.configure(name, Handler="function.other")
    assert "undefined method `other' for " in functions.invoke(name).failed("Function<NoMethodError>")["errorMessage"].replace("'other", "`other")
    functions.configure(name, Handler="function.handler")
    assert functions.invoke(name).good() == 1


def test_gems_that_come_with_ruby(functions, name):
    """What the interpreter has brought along can be required, as on AWS."""
    source = """require 'rexml/document'
require 'matrix'
def handler(event:, context:)
  [REXML::Document.new('<a>text</a>').root.text, Matrix.identity(2).to_a]
end
"""
    functions.ruby(name, source)
    assert functions.invoke(name).good() == ["text", [[1, 0], [0, 1]]]
