package example;

import com.amazonaws.services.lambda.runtime.Context;
import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.util.List;
import java.util.Map;

/** Methods that are handlers without an interface. */
public class Pojo {
    public static String greet(String name) {
        return "Hello " + name + "!";
    }

    public int length(List<Object> list) {
        return list.size();
    }

    public Map<String, WeatherData> same(Map<String, WeatherData> stations, Context context) {
        return stations;
    }

    public double half(double number) {
        return number / 2;
    }

    public void nothing(Map<String, Object> event) {
        System.out.println("keys " + event.keySet());
    }

    public void stream(InputStream input, OutputStream output) throws IOException {
        output.write(String.valueOf(input.read()).getBytes());
    }

    public String overloaded(Object event) {
        return "one parameter";
    }

    public String overloaded(Object event, Context context) {
        return "two parameters";
    }
}
