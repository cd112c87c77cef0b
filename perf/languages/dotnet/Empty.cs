// Nothing: what .NET needs by itself.
internal static class Empty
{
    private static void Main() { }
}
