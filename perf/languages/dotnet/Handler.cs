// Echo function of the benchmark.
using System.IO;

public sealed class Handler
{
    public Stream Handle(Stream input)
    {
        return input;
    }
}
