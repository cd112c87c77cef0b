// The least that .NET can do: it connects and sends back what comes.
using System;
using System.Net;
using System.Net.Sockets;

internal static class Echo
{
    private static void Main()
    {
        var address = Environment.GetEnvironmentVariable("AWS_LAMBDA_RUNTIME_API").Split(':');
        var socket = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        socket.NoDelay = true;
        socket.Connect(new IPEndPoint(IPAddress.Parse(address[0]), int.Parse(address[1])));
        var buffer = new byte[65536];
        int size;
        while ((size = socket.Receive(buffer, 0, buffer.Length, SocketFlags.None)) > 0)
        {
            socket.Send(buffer, 0, size, SocketFlags.None);
        }
    }
}
