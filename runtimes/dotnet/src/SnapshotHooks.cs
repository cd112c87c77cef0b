// SnapStart without a snapshot: what would come before and after one comes one after the other. Functions register hooks
// with `SnapshotRestore` of Amazon.Lambda.Core, which has it for .NET 8 and later and gives them to its runtime by internal
// methods.

using System;
using System.Collections.Generic;
using System.Reflection;
using System.Threading.Tasks;

namespace Lambd
{
    internal static class SnapshotHooks
    {
        /// What a hook has thrown, which is its cause; its message is the type of error that AWS gives it.
        internal sealed class Failure : Exception
        {
            internal Failure(string type, Exception cause) : base(type, cause) { }

            internal bool IsOfRestore { get { return Message == AfterRestore; } }
        }

        private const string BeforeSnapshot = "Runtime.BeforeSnapshotError";
        private const string AfterRestore = "Runtime.AfterRestoreError";

        /// The function's Amazon.Lambda.Core, once it is loaded.
        internal static Assembly Library;

        /// Runs the hooks of a function that has SnapStart: those of before a snapshot from the last to the first.
        internal static void Run()
        {
            if (Library == null || Environment.GetEnvironmentVariable("AWS_LAMBDA_INITIALIZATION_TYPE") != "snap-start")
            {
                return;
            }
            var registry = Library.GetType("Amazon.Lambda.Core.SnapshotRestore");
            if (registry == null)
            {
                return;
            }
            var before = Taken(registry, "CopyBeforeSnapshotCallbacksToRegistry");
            before.Reverse();
            Call(before, BeforeSnapshot);
            // Hooks may register others.
            Call(Taken(registry, "CopyAfterRestoreCallbacksToRegistry"), AfterRestore);
        }

        private static List<Delegate> Taken(Type registry, string method)
        {
            var hooks = new List<Delegate>();
            var copy = registry.GetMethod(method, BindingFlags.NonPublic | BindingFlags.Static);
            if (copy != null)
            {
                // Their type is not named here: the assemblies of .NET do not agree on where its ValueTask is.
                var take = copy.GetParameters()[0].ParameterType;
                var add = Delegate.CreateDelegate(take, hooks, typeof(List<Delegate>).GetMethod("Add"));
                copy.Invoke(null, new object[] { add });
            }
            return hooks;
        }

        private static void Call(List<Delegate> hooks, string errorType)
        {
            foreach (var hook in hooks)
            {
                try
                {
                    var result = hook.DynamicInvoke();
                    var task = (Task)result.GetType().GetMethod("AsTask").Invoke(result, null);
                    task.GetAwaiter().GetResult();
                }
                catch (TargetInvocationException error)
                {
                    throw new Failure(errorType, error.InnerException);
                }
                catch (Exception error)
                {
                    throw new Failure(errorType, error);
                }
            }
        }
    }
}
