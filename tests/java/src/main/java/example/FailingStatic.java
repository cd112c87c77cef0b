package example;

/** Cannot be loaded. */
public class FailingStatic {
    static final int NUMBER = Integer.parseInt("none");

    public String handle(Object event) {
        return "never " + NUMBER;
    }
}
