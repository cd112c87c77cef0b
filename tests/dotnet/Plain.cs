// Handlers of an assembly without a serializer, which does not need AWS's library.

using System.IO;

namespace Plain
{
    public class Function
    {
        public Stream Same(Stream stream)
        {
            return stream;
        }

        public string Text(string input)
        {
            return input;
        }

        public string Output(Stream input)
        {
            return "x";
        }
    }
}
