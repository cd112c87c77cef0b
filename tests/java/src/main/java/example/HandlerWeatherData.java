package example;

import com.amazonaws.services.lambda.runtime.Context;
import com.amazonaws.services.lambda.runtime.RequestHandler;

/** A custom type in and out. */
public class HandlerWeatherData implements RequestHandler<WeatherData, WeatherData> {
    @Override
    public WeatherData handleRequest(WeatherData event, Context context) {
        event.setTemperatureK(event.getTemperatureK() + 1);
        return event;
    }
}
