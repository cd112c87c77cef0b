# Waits until it is known for which function this process is.
#
# Standard input is a socket: a byte is written to it when everything is loaded, and the whole environment is read from
# it, each variable as `NAME=VALUE` with a zero byte behind it.
# frozen_string_literal: true

module Lambd
  def self.wait_for_function
    input = IO.for_fd(0, 'r+b', autoclose: false)
    input.syswrite("\n")
    variables = input.read.split("\0")
    exit!(0) if variables.empty? # nobody needs this process
    $stdin.reopen(File::NULL)
    ENV.replace(variables.to_h { |variable| variable.dup.force_encoding(Encoding::UTF_8).split('=', 2) })
    Dir.chdir(ENV.fetch('LAMBDA_TASK_ROOT'))
    load "#{__dir__}/gems.rb" # those of the function are there now
  end
end
