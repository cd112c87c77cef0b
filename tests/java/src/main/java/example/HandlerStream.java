package example;

import com.amazonaws.services.lambda.runtime.Context;
import com.amazonaws.services.lambda.runtime.RequestStreamHandler;
import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;

/** Writes each byte that it reads. */
public class HandlerStream implements RequestStreamHandler {
    @Override
    public void handleRequest(InputStream input, OutputStream output, Context context) throws IOException {
        byte[] buffer = new byte[8192];
        int count;
        long total = 0;
        while ((count = input.read(buffer)) >= 0) {
            output.write(buffer, 0, count);
            total += count;
        }
        context.getLogger().log("STREAM TYPE: " + input.getClass() + ", " + total + " bytes");
    }
}
