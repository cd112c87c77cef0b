import java.io.InputStream;
import java.io.OutputStream;
import java.net.Socket;

/** The least that Java can do: it connects and sends back what comes. */
public final class Echo {
    public static void main(String[] arguments) throws Exception {
        String[] address = System.getenv("AWS_LAMBDA_RUNTIME_API").split(":");
        try (Socket socket = new Socket(address[0], Integer.parseInt(address[1]))) {
            socket.setTcpNoDelay(true);
            InputStream in = socket.getInputStream();
            OutputStream out = socket.getOutputStream();
            byte[] buffer = new byte[65536];
            for (int size = in.read(buffer); size > 0; size = in.read(buffer)) {
                out.write(buffer, 0, size);
            }
        }
    }
}
