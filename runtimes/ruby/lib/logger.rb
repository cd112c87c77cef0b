# The standard Logger, whose lines on the standard streams carry the request id, as on AWS.
# It is found before the standard library's by RUBYLIB.
# frozen_string_literal: true

own = File.expand_path(__FILE__)
# Of a gem that somebody has activated, else of the standard library.
original = $LOAD_PATH.map { |directory| File.expand_path('logger.rb', directory.to_s) }
                     .find { |file| file != own && File.file?(file) }
require original

module Lambd
  # `I, [2019-10-26T10:04:01.689856 #8]  INFO 6573a3a0-… -- : text`
  class LogFormatter < ::Logger::Formatter
    def call(severity, time, progname, message)
      start = "#{severity[0]}, [#{format_datetime(time)} ##{Process.pid}] "
      text = format("%<severity>5s #{Lambd.request_id} -- #{progname}: ", severity: severity)
      line = start + text + msg2str(message)
      "#{line.encode(Encoding::UTF_8, invalid: :replace, undef: :replace)}\n"
    end
  end

  # Loggers for the standard streams, and those for none, write to the function's log.
  module LoggerToLog
    def initialize(device = nil, *arguments, **options)
      to_log = device.nil? || device.equal?($stdout) || device.equal?($stderr)
      super(to_log ? $stdout : device, *arguments, **options)
      @default_formatter = LogFormatter.new if to_log
    end
  end
end

Logger.prepend(Lambd::LoggerToLog)
