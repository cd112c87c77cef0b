import java.util.Map;

public class Handler {
    public Map<String, String> handle(Map<String, String> event) {
        String name = event.getOrDefault("name", "World");
        System.out.println("greeting " + name);
        return Map.of("message", "Hello, " + name + "!", "from", "Java " + Runtime.version());
    }
}
