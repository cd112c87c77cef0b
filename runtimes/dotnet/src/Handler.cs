// The method that a function's configuration names as ASSEMBLY::TYPE::METHOD, and how it is called.

using System;
using System.Collections.Generic;
using System.IO;
using System.Reflection;
using System.Runtime.CompilerServices;
using System.Threading.Tasks;

namespace Lambd
{
    /// A function that cannot be used as it is. Its message is that of AWS.
    internal sealed class LambdaException : Exception
    {
        internal LambdaException(string message, Exception cause = null) : base(message, cause) { }
    }

    internal sealed class Handler
    {
        private const string Core = "Amazon.Lambda.Core";
        private const string Format = "The valid format is 'ASSEMBLY::TYPE::METHOD'.";
        private const BindingFlags Declared = BindingFlags.DeclaredOnly | BindingFlags.Public | BindingFlags.NonPublic |
            BindingFlags.Instance | BindingFlags.Static;

        private MethodInfo method;
        private object target;
        private Type inputType; // null when it takes no input
        private int contextAt = -1; // which parameter is the context
        private int parameterCount;
        private Type outputType; // null when there is none
        private Type serializerType; // null without one
        private object serializer;
        private MethodInfo deserialize, serialize;
        private bool wrapsErrorsOfTasks;

        internal static Handler Load(string name, string directory)
        {
            if (string.IsNullOrEmpty(name))
            {
                throw new LambdaException("Empty lambda function handler. " + Format);
            }
            var parts = name.Split(new[] { "::" }, 3, StringSplitOptions.None);
            if (parts.Length != 3)
            {
                throw new LambdaException("Invalid lambda function handler: '" + name + "'. " + Format);
            }
            var whole = new[] { "assembly", "type", "method" };
            for (var at = 0; at < 3; at++)
            {
                parts[at] = parts[at].Trim();
                if (parts[at].Length == 0)
                {
                    throw new LambdaException(
                        "Invalid lambda function handler: '" + name + "', the " + whole[at] + " is missing. " + Format);
                }
            }
            FindAssembliesIn(directory);
            AppDomain.CurrentDomain.AssemblyLoad += (sender, loaded) => Serve(loaded.LoadedAssembly);
            var handler = new Handler();
            handler.Find(parts[0], parts[1], parts[2]);
            return handler;
        }

        /// What no deps.json lists is looked for beside the function's own assembly.
        private static void FindAssembliesIn(string directory)
        {
            AppDomain.CurrentDomain.AssemblyResolve += (sender, wanted) =>
            {
                var path = Path.Combine(directory, new AssemblyName(wanted.Name).Name + ".dll");
                return File.Exists(path) ? Assembly.LoadFrom(path) : null;
            };
        }

        /// Gives the library, when it is loaded, what it expects of a runtime.
        private static void Serve(Assembly assembly)
        {
            if (assembly.GetName().Name == Core)
            {
                LogThrough(assembly);
                ResponseStream.Offer(assembly);
                SnapshotHooks.Library = assembly;
            }
        }

        /// The library's logger writes to the log, whatever the function makes of the console.
        private static void LogThrough(Assembly library)
        {
            var logger = library.GetType(Core + ".LambdaLogger");
            if (logger == null)
            {
                return;
            }
            Redirect(logger, "_loggingAction", new Action<string>(Log.Line));
            Redirect(logger, "_loggingWithLevelAction", new Action<string, string, object[]>(Log.Levelled));
            Redirect(logger, "_loggingWithLevelAndExceptionAction",
                new Action<string, Exception, string, object[]>(Log.Levelled));
        }

        private static void Redirect(Type logger, string field, Delegate action)
        {
            var found = logger.GetField(field, BindingFlags.NonPublic | BindingFlags.Static);
            if (found != null && found.FieldType == action.GetType())
            {
                found.SetValue(null, action);
            }
        }

        private void Find(string assemblyName, string typeName, string methodName)
        {
            var assembly = LoadAssembly(assemblyName);
            var type = assembly.GetType(typeName);
            if (type == null)
            {
                throw new LambdaException("Unable to load type '" + typeName + "' from assembly '" + assemblyName + "'.");
            }
            method = FindMethod(type, methodName);
            if (method == null)
            {
                throw new LambdaException("Unable to find method '" + methodName + "' in type '" + typeName +
                    "' from assembly '" + assemblyName + "': Found no methods matching method name '" + methodName + "'.");
            }
            RefuseUnsupported();
            if (!method.IsStatic)
            {
                RefuseUnsupported(type);
                target = Instance(type);
            }
            FindParameters(typeName);
            FindOutput();
            serializerType = SerializerType(method.GetCustomAttributesData()) ??
                SerializerType(assembly.GetCustomAttributesData());
            MakeSerializer(assemblyName);
            var environment = Environment.GetEnvironmentVariable("AWS_EXECUTION_ENV") ?? "";
            wrapsErrorsOfTasks = environment.StartsWith("AWS_Lambda_dotnetcore", StringComparison.Ordinal);
        }

        private static Assembly LoadAssembly(string name)
        {
            try
            {
                return Assembly.Load(new AssemblyName(name));
            }
            catch (FileNotFoundException error)
            {
                throw new LambdaException("Could not find the specified handler assembly with the file name '" +
                    error.FileName + "'. The assembly should be located in the root of your uploaded .zip file.");
            }
            catch (Exception error)
            {
                throw new LambdaException("Unable to load assembly '" + name + "'.", error);
            }
        }

        /// By name, in the type and then in those it inherits from; else by what ToString gives.
        private static MethodInfo FindMethod(Type type, string name)
        {
            for (var at = type; at != null; at = at.BaseType)
            {
                var found = new List<MethodInfo>();
                foreach (var candidate in at.GetMethods(Declared))
                {
                    if (candidate.Name == name)
                    {
                        found.Add(candidate);
                    }
                }
                if (found.Count > 1)
                {
                    throw new LambdaException("The method '" + name + "' in type '" + at.FullName +
                        "' appears to have a number of overloads. To call this method please specify a complete " +
                        "method signature. Possible candidates are:\n" + string.Join("\n", found) + ".");
                }
                if (found.Count == 1)
                {
                    return found[0];
                }
            }
            for (var at = type; at != null; at = at.BaseType)
            {
                foreach (var candidate in at.GetMethods(Declared))
                {
                    if (candidate.ToString() == name)
                    {
                        return candidate;
                    }
                }
            }
            return null;
        }

        private void RefuseUnsupported()
        {
            var start = "The method '" + method + "' cannot be used as a Lambda Handler because it is ";
            if (method.IsAbstract)
            {
                throw new LambdaException(start + "an abstract method. Handler methods cannot be abstract. " +
                    "Please specify a non-abstract handler method.");
            }
            if (method.IsGenericMethod)
            {
                throw new LambdaException(start + "a generic method. Handler methods cannot be generic. " +
                    "Please specify a non-generic handler method.");
            }
            if (method.ReturnType == typeof(void) && method.IsDefined(typeof(AsyncStateMachineAttribute), false))
            {
                throw new LambdaException(start + "an 'async void' method. Handler methods cannot be 'async void'. " +
                    "Please specify a method that is not 'async void'.");
            }
            var parameters = method.GetParameters();
            if (parameters.Length > 0 && parameters[parameters.Length - 1].IsDefined(typeof(ParamArrayAttribute), false))
            {
                throw new LambdaException(start +
                    "a 'params' method. Please specify a method that does not use 'params'.");
            }
            if ((method.CallingConvention & CallingConventions.VarArgs) == CallingConventions.VarArgs)
            {
                throw new LambdaException(start + "a 'vararg (variable arguments)' method. " +
                    "Please specify a method that is not 'vararg'.");
            }
            foreach (var parameter in parameters)
            {
                RefusePointer(parameter.ParameterType);
            }
            RefusePointer(method.ReturnType);
        }

        private void RefusePointer(Type type)
        {
            if (type.IsPointer || type.IsByRef)
            {
                throw new LambdaException("The method '" + method + "' cannot be used as a Lambda Handler because it uses " +
                    "the type '" + type + "'. Please specify a method without pointers and references.");
            }
        }

        private void RefuseUnsupported(Type type)
        {
            if (type.ContainsGenericParameters)
            {
                throw new LambdaException("The type '" + type.FullName + "' cannot be used as a Lambda Handler type because " +
                    "it is generic. Handler methods cannot be located in generic types. Please specify a handler method " +
                    "in a non-generic type.");
            }
            if (type.IsAbstract)
            {
                throw new LambdaException("The instance method '" + method + "' cannot be used as a Lambda Handler because " +
                    "its type '" + type.FullName + "' is abstract. Please either use a static handler or specify a type " +
                    "that is not abstract.");
            }
        }

        private static object Instance(Type type)
        {
            try
            {
                return Activator.CreateInstance(type);
            }
            catch (Exception error)
            {
                throw new LambdaException("An exception was thrown when the constructor for type '" + type.FullName +
                    "' was invoked. Check inner exception for more details.", error);
            }
        }

        private void FindParameters(string typeName)
        {
            var parameters = method.GetParameters();
            parameterCount = parameters.Length;
            var start = "Method '" + method.Name + "' of type '" + typeName + "' is not supported: the method has ";
            if (parameterCount > 2)
            {
                throw new LambdaException(start + "more than 2 parameters.");
            }
            if (parameterCount == 2 && !IsContext(parameters[1].ParameterType))
            {
                throw new LambdaException(start + "2 parameters, but the second parameter is not of type '" + Core +
                    ".ILambdaContext'.");
            }
            if (parameterCount > 0 && IsContext(parameters[parameterCount - 1].ParameterType))
            {
                contextAt = parameterCount - 1;
            }
            if (contextAt != 0 && parameterCount > 0)
            {
                inputType = parameters[0].ParameterType;
            }
        }

        private static bool IsContext(Type type)
        {
            return type.FullName == Core + ".ILambdaContext";
        }

        private void FindOutput()
        {
            outputType = method.ReturnType;
            if (outputType == typeof(void) || outputType == typeof(Task))
            {
                outputType = null;
            }
            else if (outputType.IsGenericType && outputType.GetGenericTypeDefinition() == typeof(Task<>))
            {
                outputType = outputType.GetGenericArguments()[0];
            }
        }

        private static Type SerializerType(IList<CustomAttributeData> attributes)
        {
            foreach (var attribute in attributes)
            {
                if (attribute.AttributeType.FullName == Core + ".LambdaSerializerAttribute" &&
                    attribute.ConstructorArguments.Count == 1)
                {
                    return (Type)attribute.ConstructorArguments[0].Value;
                }
            }
            return null;
        }

        private void MakeSerializer(string assemblyName)
        {
            var isIn = inputType != null && !IsStream(inputType);
            var isOut = outputType != null && !IsStream(outputType);
            if (serializerType == null)
            {
                if (isIn || isOut)
                {
                    throw new LambdaException("Could not find the LambdaSerializerAttribute on the assembly '" +
                        assemblyName + "' or method '" + method.Name + "' while attempting to " +
                        (isIn ? "deserialize input data of type '" + inputType.FullName
                              : "serialize output data of type '" + outputType.FullName) +
                        "'. To use types other than System.IO.Stream as input/output parameters, the assembly or " +
                        "Lambda function should be annotated with Amazon.Lambda.Core.LambdaSerializerAttribute.");
                }
                return;
            }
            if (serializerType.GetConstructor(Type.EmptyTypes) == null)
            {
                throw new LambdaException("The indicated serializer '" + serializerType.FullName +
                    "' does not define a public zero-parameter constructor.");
            }
            var contract = serializerType.GetInterface(Core + ".ILambdaSerializer");
            if (contract == null)
            {
                throw new LambdaException("The '" + serializerType.FullName +
                    "' class is invalid: it does not implement the 'ILambdaSerializer' interface.");
            }
            serializer = Instance(serializerType);
            deserialize = isIn ? contract.GetMethod("Deserialize").MakeGenericMethod(inputType) : null;
            serialize = isOut ? contract.GetMethod("Serialize").MakeGenericMethod(outputType) : null;
        }

        /// A parameter that any stream fits, or a result that is one.
        private static bool IsStream(Type type)
        {
            return type == typeof(Stream) || type == typeof(MemoryStream);
        }

        /// The response to an event; null if the function streams one, which its value does not count beside.
        internal MemoryStream Call(Event received)
        {
            var arguments = new object[parameterCount];
            if (inputType != null)
            {
                var body = new MemoryStream(received.Body, 0, received.Body.Length, false, true);
                arguments[0] = deserialize == null ? body : Invoke(deserialize, serializer, body);
            }
            if (contextAt >= 0)
            {
                arguments[contextAt] = Context(received);
            }
            var result = Invoke(method, target, arguments);
            var task = result as Task;
            if (task != null)
            {
                result = ResultOf(task);
            }
            return ResponseStream.IsBegun ? null : Response(result);
        }

        /// Not inlined: only functions that have the library may come here.
        [MethodImpl(MethodImplOptions.NoInlining)]
        private static object Context(Event received)
        {
            return new LambdaContext(received);
        }

        private object ResultOf(Task task)
        {
            if (!wrapsErrorsOfTasks)
            {
                task.GetAwaiter().GetResult();
            }
            if (outputType == null)
            {
                task.Wait();
                return null;
            }
            // The declared type: that of the object may be a private one of the compiler's.
            return Invoke(typeof(Task<>).MakeGenericType(outputType).GetMethod("get_Result"), task);
        }

        private MemoryStream Response(object result)
        {
            var response = result as MemoryStream;
            if (serialize == null && response != null && IsVisible(response))
            {
                return response;
            }
            response = new MemoryStream();
            if (serialize != null)
            {
                Invoke(serialize, serializer, result, response);
                return response;
            }
            var stream = result as Stream;
            if (stream != null)
            {
                using (stream)
                {
                    stream.CopyTo(response);
                }
            }
            return response;
        }

        /// Whether all of the stream can be sent as it lies in memory.
        private static bool IsVisible(MemoryStream stream)
        {
            ArraySegment<byte> buffer;
            return stream.CanRead && stream.Position == 0 && stream.TryGetBuffer(out buffer) && buffer.Offset == 0;
        }

        /// Calls a method; what it throws is thrown as it is.
        private static object Invoke(MethodInfo method, object target, params object[] arguments)
        {
            try
            {
                return method.Invoke(target, arguments);
            }
            catch (TargetInvocationException error)
            {
                // Thrown anew it would lose where it comes from; reports look for the cause.
                throw new Thrown(error.InnerException);
            }
        }
    }

    /// Carries an exception of the function's code.
    internal sealed class Thrown : Exception
    {
        internal Thrown(Exception cause) : base("", cause) { }
    }
}
