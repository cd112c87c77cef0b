package example;

/** There are not two numbers. */
public class InputLengthException extends RuntimeException {
    public InputLengthException(String message) {
        super(message);
    }
}
