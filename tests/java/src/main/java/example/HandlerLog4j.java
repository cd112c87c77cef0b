package example;

import com.amazonaws.services.lambda.runtime.Context;
import com.amazonaws.services.lambda.runtime.RequestHandler;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/** Logs by SLF4J and Log4j 2. */
public class HandlerLog4j implements RequestHandler<Object, String> {
    private static final Logger LOGGER = LoggerFactory.getLogger(HandlerLog4j.class);

    @Override
    public String handleRequest(Object event, Context context) {
        LOGGER.info("EVENT TYPE: {}", event.getClass());
        LOGGER.warn("caution");
        LOGGER.debug("nobody sees this");
        return "SUCCESS";
    }
}
