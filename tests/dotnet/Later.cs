// A handler that uses what later versions of AWS's library have.

using System;
using System.IO;
using System.Text;
using Amazon.Lambda.Core;

namespace Later
{
    public class Function
    {
        public Stream Handle(ILambdaContext context)
        {
            context.Logger.Log("Warning", "context {Name} has {Count:000} of {{x}}", "\u00e9", 7);
            context.Logger.Log("Debug", "plain {Name}");
            LambdaLogger.Log("Error", new FormatException("bad"), "library {0}", true);
            LambdaLogger.Log("text");
            return new MemoryStream(Encoding.UTF8.GetBytes(context.TraceId + " " + context.TenantId));
        }
    }
}
