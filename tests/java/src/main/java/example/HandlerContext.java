package example;

import com.amazonaws.services.lambda.runtime.ClientContext;
import com.amazonaws.services.lambda.runtime.Context;
import com.amazonaws.services.lambda.runtime.RequestHandler;
import java.util.LinkedHashMap;
import java.util.Map;

/** Tells what the context says. */
public class HandlerContext implements RequestHandler<Object, Map<String, Object>> {
    @Override
    public Map<String, Object> handleRequest(Object event, Context context) {
        context.getLogger().log("a line by the logger\n");
        System.err.println("a line on stderr");
        Map<String, Object> said = new LinkedHashMap<>();
        said.put("remaining", context.getRemainingTimeInMillis());
        said.put("functionName", context.getFunctionName());
        said.put("functionVersion", context.getFunctionVersion());
        said.put("invokedFunctionArn", context.getInvokedFunctionArn());
        said.put("memoryLimit", context.getMemoryLimitInMB());
        said.put("awsRequestId", context.getAwsRequestId());
        said.put("logGroupName", context.getLogGroupName());
        said.put("logStreamName", context.getLogStreamName());
        ClientContext client = context.getClientContext();
        if (client != null) {
            said.put("custom", client.getCustom());
            said.put("appTitle", client.getClient().getAppTitle());
            said.put("platform", client.getEnvironment().get("platform"));
        }
        return said;
    }
}
