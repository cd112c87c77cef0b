package example;

import com.amazonaws.services.lambda.runtime.Context;
import com.amazonaws.services.lambda.runtime.RequestHandler;

/** A number in, a number out; counts its events. */
public class HandlerInteger implements RequestHandler<Integer, Integer> {
    private static int events;

    static {
        System.out.println("static code runs");
    }

    public HandlerInteger() {
        System.out.println("the constructor runs");
    }

    @Override
    public Integer handleRequest(Integer event, Context context) {
        events++;
        return event + events;
    }
}
