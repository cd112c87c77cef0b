/** Nothing: what the JVM needs by itself. */
public final class Empty {
    public static void main(String[] arguments) {
    }
}
