// The managed .NET runtime: loads one handler and serves its events.
// Started as `dotnet exec [--depsfile D] --runtimeconfig C /var/runtime/bootstrap.dll`.
//
// Contract
//   Environment  AWS_LAMBDA_RUNTIME_API (host:port), _HANDLER, LAMBDA_TASK_ROOT, AWS_EXECUTION_ENV and the
//                AWS_LAMBDA_* variables that the context shows.
//   Requests     GET next, POST response, POST error, POST init/error of version 2018-06-01, on one kept
//                connection. A POST for an event carries the GET of the next event behind it in the same
//                write; the server must take pipelined requests.
//   Output       what the code prints, verbatim or with time, request id and level before each line; the document
//                of each error, in one line.
//   Exit         1 after an initialization error was posted.
//
// It is compiled for the assemblies mscorlib and System, which every .NET since .NET Core 2.0 has, and uses few
// others: each one costs a millisecond or more at every start. Handlers are called by reflection for the same reason.

using System;
using System.Reflection;

[assembly: AssemblyTitle("lambd's runtime for .NET")]
[assembly: AssemblyVersion("1.0.0.0")]

namespace Lambd
{
    internal static class Program
    {
        private const int InitFailed = 1;

        private static int Main()
        {
            var api = new RuntimeApi(Environment.GetEnvironmentVariable("AWS_LAMBDA_RUNTIME_API"));
            Log.TakeConsole();
            Handler handler;
            try
            {
                handler = Handler.Load(
                    Environment.GetEnvironmentVariable("_HANDLER"),
                    Environment.GetEnvironmentVariable("LAMBDA_TASK_ROOT"));
            }
            catch (Exception error)
            {
                var report = new Report(error);
                Log.Error(report);
                api.Post("init/error", report.Body, 0, report.Body.Length, report.Headers(false), false);
                return InitFailed;
            }
            while (true)
            {
                Serve(api, handler, api.Next());
            }
        }

        private static void Serve(RuntimeApi api, Handler handler, Event received)
        {
            var path = "invocation/" + received.RequestId + "/";
            Environment.SetEnvironmentVariable("_X_AMZN_TRACE_ID", received.TraceId);
            Log.RequestId = received.RequestId;
            Report report;
            try
            {
                var response = handler.Call(received);
                Log.EndLines();
                api.Post(path + "response", response.GetBuffer(), 0, (int)response.Length, "", true);
                return;
            }
            catch (RuntimeApi.Broken)
            {
                throw;
            }
            catch (Exception error)
            {
                report = new Report(error);
            }
            Log.EndLines();
            Log.Error(report);
            api.Post(path + "error", report.Body, 0, report.Body.Length, report.Headers(true), true);
        }
    }
}
