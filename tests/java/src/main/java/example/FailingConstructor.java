package example;

/** Cannot be made. */
public class FailingConstructor {
    public FailingConstructor() {
        throw new IllegalStateException("not today");
    }

    public String handle(Object event) {
        return "never";
    }
}
