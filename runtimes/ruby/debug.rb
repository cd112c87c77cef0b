# Preloaded when a function is debugged: waits for a debugger before the bootstrap begins. It stops here; whoever
# attaches sets breakpoints and continues.
# frozen_string_literal: true

require_relative 'gems'

begin
  require 'debug/open_nonstop'
rescue LoadError
  abort("lambd: the gem debug is neither in the package, nor in a layer, nor installed for #{RbConfig.ruby}: " \
        'run `gem install debug`')
end

binding.break
