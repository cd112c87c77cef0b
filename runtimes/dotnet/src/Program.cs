// The managed .NET runtime: loads one handler and serves its events.
// Started as `dotnet exec [--depsfile D] --runtimeconfig C /var/runtime/bootstrap.dll`.
//
// Contract
//   Environment  AWS_LAMBDA_RUNTIME_API (host:port), _HANDLER, LAMBDA_TASK_ROOT, AWS_EXECUTION_ENV and the
//                AWS_LAMBDA_* variables that the context shows; AWS_LAMBDA_INITIALIZATION_TYPE, `snap-start` for hooks.
//   Requests     GET next, POST response, POST error, POST init/error, POST restore/error of version 2018-06-01, on one
//                kept connection. A POST for an event carries the GET of the next event behind it in the same
//                write; the server must take pipelined requests. A response that is streamed goes out in chunks while
//                the function writes.
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
                return Failed(api, "init/error", report, report.Headers(false));
            }
            try
            {
                SnapshotHooks.Run();
            }
            catch (SnapshotHooks.Failure failure)
            {
                var report = new Report(failure.InnerException);
                var header = "Lambda-Runtime-Function-Error-Type: " + failure.Message + "\r\n";
                return Failed(api, failure.IsOfRestore ? "restore/error" : "init/error", report, header);
            }
            while (true)
            {
                Serve(api, handler, api.Next());
            }
        }

        private static int Failed(RuntimeApi api, string path, Report report, string headers)
        {
            Log.Error(report);
            api.Post(path, report.Body, 0, report.Body.Length, headers, false);
            return InitFailed;
        }

        private static void Serve(RuntimeApi api, Handler handler, Event received)
        {
            var path = "invocation/" + received.RequestId + "/";
            Environment.SetEnvironmentVariable("_X_AMZN_TRACE_ID", received.TraceId);
            Log.RequestId = received.RequestId;
            Report report;
            ResponseStream.Expect(api, path + "response");
            try
            {
                var response = handler.Call(received);
                Log.EndLines();
                if (!ResponseStream.End(null))
                {
                    api.Post(path + "response", response.GetBuffer(), 0, (int)response.Length, "", true);
                }
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
            if (!ResponseStream.End(report))
            {
                api.Post(path + "error", report.Body, 0, report.Body.Length, report.Headers(true), true);
            }
        }
    }
}
