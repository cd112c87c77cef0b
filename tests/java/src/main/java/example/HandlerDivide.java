package example;

import com.amazonaws.services.lambda.runtime.Context;
import com.amazonaws.services.lambda.runtime.RequestHandler;
import com.google.gson.Gson;
import com.google.gson.GsonBuilder;
import java.util.List;

// The lines at which this fails are in the error documents of the guide: the class is on line 13,
// the exception on line 22, the division on line 28.

/** Divides the first number by the second. */
public class HandlerDivide implements RequestHandler<List<Integer>, Integer> {
    private final Gson gson = new GsonBuilder().setPrettyPrinting().create();

    @Override
    public Integer handleRequest(List<Integer> event, Context context) {
        context.getLogger().log("EVENT: " + gson.toJson(event));
        context.getLogger().log("EVENT TYPE: " + event.getClass().toString());
        if (event.size() != 2) {
            // Unchecked: the interface allows no other.
            throw new InputLengthException("Input must be an array that contains 2 numbers.");
        }

        int numerator = event.get(0);
        int denominator = event.get(1);

        return numerator / denominator;
    }
}
