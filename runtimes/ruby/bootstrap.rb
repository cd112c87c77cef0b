# The managed Ruby runtime: loads one handler and serves its events.
# Started as `ruby /var/runtime/bootstrap.rb`.
#
# Contract
#   Environment  AWS_LAMBDA_RUNTIME_API (host:port), _HANDLER, LAMBDA_TASK_ROOT and the
#                AWS_LAMBDA_* variables that the context shows. RUBYLIB and GEM_PATH are set
#                outside; the former leads to `lib` beside this file, where Logger is.
#   Requests     GET next, POST response, POST error, POST init/error of version
#                2018-06-01, on one kept connection. A POST for an event carries the GET of
#                the next event behind it in the same write, so a warm event costs one
#                write; the server must take pipelined requests.
#   Output       what the code prints, verbatim; a title and the document of each error.
#   Exit         252 after an initialization error was posted; 255 after an error that no
#                handler should survive (NameError, and whatever is no StandardError).
#
# Runs on Ruby 2.5 and later. `json` and `Logger` are there without being required, as on
# AWS. `socket` and `net/http` cost more to load than the rest together, so of the first one
# only the C part is taken.
# frozen_string_literal: true

require_relative 'gems'
require 'json/version' # activates the gem
require 'socket.so'

# Versions before 2.10 load OpenStruct for JSON::GenericObject: a third of what json costs, for what hardly
# anybody uses. Whoever names one of them has it loaded then.
generic, unused = $LOAD_PATH.resolve_feature_path('json/generic_object') if $LOAD_PATH.respond_to?(:resolve_feature_path)
if generic == :rb && !$LOADED_FEATURES.include?(unused)
  $LOADED_FEATURES << unused
  require 'json'
  $LOADED_FEATURES.delete(unused)
  JSON.autoload(:GenericObject, unused)
  Object.autoload(:OpenStruct, 'ostruct')
else
  require 'json'
end

# As on AWS, without its cost for those who do not use it.
autoload :Logger, 'logger'

$stdout.sync = true

module Lambd
  API = '/2018-06-01/runtime/'
  # The X-Ray cause travels in a header; a longer one is dropped, not cut.
  MAX_CAUSE_BYTES = 32 * 1024
  MAX_FRAMES = 100
  MAX_CAUSE_FRAMES = 15

  class << self
    # Of the event in hand; what Logger writes.
    attr_accessor :request_id
  end

  # HTTP/1.1 to the Runtime API over one raw socket. Replies carry Content-Length.
  class RuntimeApi
    def initialize(address)
      @host, _, @port = address.rpartition(':')
      @tail = " HTTP/1.1\r\nHost: #{address}\r\n"
      @next = "GET #{API}invocation/next#{@tail}\r\n"
      @asked = false # whether a GET next is on its way
      connect
    end

    # Waits for the next event: its headers, by lower-case name, and its body.
    def next
      if @asked
        @asked = false
        begin
          receive
        rescue SystemCallError, IOError # closed after the reply to our POST
          connect
          exchange(@next)
        end
      else
        exchange(@next)
      end
      raise "the Runtime API answered #{@status} to next" unless @status == 200

      [@headers, @body]
    end

    # Posts a reply and, with `then_next`, asks for the next event in the same write.
    def post(path, body, content_type, headers = '', then_next: true)
      head = "POST #{API}#{path}#{@tail}#{headers}Content-Type: #{content_type}\r\n" \
             "Content-Length: #{body.bytesize}\r\n\r\n"
      begin
        exchange([head, body, then_next ? @next : ''].map(&:b).join)
        @asked = then_next
      rescue SystemCallError, IOError
        # Refused in mid-body, or the connection is gone for good: the service has its own
        # answer for this event, and asking for the next one tells which.
        connect
      end
      raise "the Runtime API answered #{@status} to #{path}" if @status >= 500
    end

    private

    def connect
      @status = 0
      @rest = ''.b
      @socket = TCPSocket.new(@host, @port.to_i)
      @socket.setsockopt(Socket::IPPROTO_TCP, Socket::TCP_NODELAY, 1)
    end

    # Sends and reads one reply. A server may close an idle kept connection at any time, so
    # a failure is repeated once on a new one.
    def exchange(request)
      send_and_receive(request)
    rescue SystemCallError, IOError
      connect
      send_and_receive(request)
    end

    def send_and_receive(request)
      @socket.write(request)
      receive
    end

    def receive
      data = @rest
      data << @socket.readpartial(65_536) until (finish = data.index("\r\n\r\n"))
      lines = data.byteslice(0, finish).split("\r\n")
      @headers = lines.drop(1).each_with_object({}) do |line, headers|
        name, _, value = line.partition(':')
        headers[name.downcase] = value.strip.force_encoding(Encoding::UTF_8)
      end
      start = finish + 4
      stop = start + @headers.fetch('content-length', '0').to_i
      data << (@socket.read(stop - data.bytesize) || '') if data.bytesize < stop
      raise EOFError if data.bytesize < stop

      @body = data.byteslice(start, stop - start).force_encoding(Encoding::UTF_8)
      @rest = data.byteslice(stop, data.bytesize)
      @status = lines[0].split(' ', 3)[1].to_i
    end
  end

  # An error as the service wants to have it.
  class Report
    attr_reader :type

    # `origin` is the part that it comes from: the function or its initialization.
    def initialize(error, origin)
      @message = error.message.to_s.dup.force_encoding(Encoding::UTF_8).scrub
      @type = "#{origin}<#{error.class}>"
      @frames = frames(error)
    end

    def document
      { errorMessage: @message, errorType: @type, stackTrace: @frames }
    end

    # What X-Ray shows of it, or nil when there is too much.
    def cause
      stack = @frames.first(MAX_CAUSE_FRAMES).map do |frame|
        path, line, label = /\A(.*?):(\d+)(?::in [`'](.*)')?\z/m.match(frame)&.captures
        { path: path || frame, line: line.to_i, label: label }
      end
      exceptions = [{ message: @message, type: @type, stack: stack }]
      text = JSON.generate({ working_directory: Dir.pwd, paths: Gem.path, exceptions: exceptions })
      text = text.gsub(/[^ -~]/) { |c| c.encode('UTF-16BE').unpack('n*').map { |u| format('\u%04x', u) }.join }
      text if text.bytesize <= MAX_CAUSE_BYTES
    rescue StandardError
      nil
    end

    # One line, of visible characters.
    def type_header
      @type.gsub(/[^ -~]/, '?')
    end

    def log(title)
      puts title
      puts JSON.pretty_generate(document)
    end

    private

    # Those of the function: the runtime's own begin where it calls.
    def frames(error)
      lines = (error.backtrace || []).map { |line| line.dup.force_encoding(Encoding::UTF_8).scrub }
      lines.take_while { |line| !line.start_with?(__FILE__) }.first(MAX_FRAMES)
    end
  end
end

# The second argument of a handler.
class LambdaContext
  attr_reader :aws_request_id, :invoked_function_arn, :log_group_name, :log_stream_name,
              :function_name, :memory_limit_in_mb, :function_version, :identity,
              :client_context, :deadline_ms

  def initialize(headers)
    @aws_request_id = headers['lambda-runtime-aws-request-id']
    @invoked_function_arn = headers['lambda-runtime-invoked-function-arn']
    @deadline_ms = headers['lambda-runtime-deadline-ms'].to_i
    @log_group_name = ENV['AWS_LAMBDA_LOG_GROUP_NAME']
    @log_stream_name = ENV['AWS_LAMBDA_LOG_STREAM_NAME']
    @function_name = ENV['AWS_LAMBDA_FUNCTION_NAME']
    @memory_limit_in_mb = ENV['AWS_LAMBDA_FUNCTION_MEMORY_SIZE']
    @function_version = ENV['AWS_LAMBDA_FUNCTION_VERSION']
    @identity = parsed(headers['lambda-runtime-cognito-identity'])
    @client_context = parsed(headers['lambda-runtime-client-context'])
  end

  # Never below zero.
  def get_remaining_time_in_millis
    [@deadline_ms - Process.clock_gettime(Process::CLOCK_REALTIME, :millisecond), 0].max
  end

  private

  def parsed(header)
    JSON.parse(header) if header && !header.empty?
  end
end

# The method that the function's configuration names. Its name shows in the message of the
# error that says that there is no such method.
class LambdaHandler
  def initialize(name)
    parts = name.split('.')
    unless [2, 3].include?(parts.size)
      raise ArgumentError, "Invalid handler #{parts}, must be of form FILENAME.METHOD or " \
        'FILENAME.CLASS.METHOD where FILENAME corresponds with an existing Ruby source file ' \
        'FILENAME.rb, CLASS is an optional module/class namespace and METHOD is a callable ' \
        'method. If using CLASS, METHOD must be a class-level method.'
    end
    @file = parts.first
    @class_name = parts[1] if parts.size == 3
    @method_name = parts.last
  end

  def load
    require @file
  end

  def call(event, context)
    return __send__(@method_name, event: event, context: context) unless @class_name

    Kernel.const_get(@class_name).send(@method_name, event: event, context: context)
  end

  # Ruby shows the fields otherwise, which are nobody's business.
  def inspect
    Kernel.instance_method(:to_s).bind(self).call
  end
end

module Lambd
  # Serves events until the process ends.
  class Runtime
    INIT_FAILED = 252
    FATAL = 255

    def initialize(api)
      @api = api
    end

    def run
      handler = load_handler
      loop { serve(handler, *@api.next) }
    rescue SignalException # the service ends the instance
      exit(0)
    end

    private

    def load_handler
      root = ENV['LAMBDA_TASK_ROOT']
      $LOAD_PATH.unshift(root) unless $LOAD_PATH.include?(root)
      handler = LambdaHandler.new(ENV['_HANDLER'].to_s)
      handler.load
      handler
    rescue Exception => error # rubocop:disable Lint/RescueException -- whatever it is, it is told
      report = Report.new(error, 'Init')
      report.log("Init error when loading handler #{ENV['_HANDLER']}")
      @api.post('init/error', JSON.generate(report.document), 'application/json', headers(report, nil),
                then_next: false)
      exit(INIT_FAILED)
    end

    def serve(handler, headers, body)
      id = Lambd.request_id = headers['lambda-runtime-aws-request-id']
      ENV['_X_AMZN_TRACE_ID'] = headers['lambda-runtime-trace-id']
      begin
        result, type = serialized(handler.call(JSON.parse(body), LambdaContext.new(headers)))
      rescue NameError => error # a method that does not exist, too: the code is broken
        return fail(id, error, 'Critical exception from handler', fatal: true)
      rescue StandardError => error
        return fail(id, error, 'Error raised from handler method', fatal: false)
      rescue Exception => error # rubocop:disable Lint/RescueException -- also `exit` is told
        return fail(id, error, 'Critical exception from handler', fatal: true)
      end
      @api.post("invocation/#{id}/response", result, type)
    end

    # An IO is the response as it is.
    def serialized(result)
      is_stream = result.is_a?(IO) || (defined?(StringIO) && result.is_a?(StringIO))
      is_stream ? [result.read.to_s, 'application/unknown'] : [result.to_json, 'application/json']
    end

    def fail(id, error, title, fatal:)
      report = Report.new(error, 'Function')
      report.log(title)
      @api.post("invocation/#{id}/error", JSON.generate(report.document), 'application/json',
                headers(report, report.cause), then_next: !fatal)
      exit(FATAL) if fatal
    end

    def headers(report, cause)
      text = "Lambda-Runtime-Function-Error-Type: #{report.type_header}\r\n"
      text += "Lambda-Runtime-Function-XRay-Error-Cause: #{cause}\r\n" if cause
      text
    end
  end
end

if ENV.key?('_LAMBD_AHEAD')
  require_relative 'ahead'
  Lambd.wait_for_function
end
Lambd::Runtime.new(Lambd::RuntimeApi.new(ENV.fetch('AWS_LAMBDA_RUNTIME_API'))).run
