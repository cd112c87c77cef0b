package example;

import com.amazonaws.services.lambda.runtime.events.DynamodbEvent;
import com.amazonaws.services.lambda.runtime.events.S3Event;
import com.amazonaws.services.lambda.runtime.events.SQSEvent;
import java.util.ArrayList;
import java.util.List;

/** Events of services, in the types of aws-lambda-java-events. */
public class Events {
    public List<String> sqs(SQSEvent event) {
        List<String> said = new ArrayList<>();
        for (SQSEvent.SQSMessage message : event.getRecords()) {
            said.add(message.getMessageId() + " " + message.getBody() + " " + message.getEventSourceArn());
        }
        return said;
    }

    public List<String> s3(S3Event event) {
        List<String> said = new ArrayList<>();
        event.getRecords().forEach(record -> said.add(
                record.getS3().getBucket().getName() + "/" + record.getS3().getObject().getUrlDecodedKey()
                        + " at " + record.getEventTime().getMillis()));
        return said;
    }

    public String dynamodb(DynamodbEvent event) {
        for (DynamodbEvent.DynamodbStreamRecord record : event.getRecords()) {
            System.out.println(record.getEventID());
            System.out.println(record.getEventName());
            System.out.println(record.getDynamodb().toString());
        }
        return "200 OK";
    }
}
