package example;

import com.amazonaws.services.lambda.runtime.Context;
import com.amazonaws.services.lambda.runtime.RequestHandler;

/** Returns the text that it is given. */
public class HandlerString implements RequestHandler<String, String> {
    @Override
    public String handleRequest(String event, Context context) {
        System.out.println("length " + event.length());
        return event;
    }
}
