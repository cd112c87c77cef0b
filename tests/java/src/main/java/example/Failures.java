package example;

import java.io.FileNotFoundException;
import java.util.ArrayList;
import java.util.List;

/** Ways to fail. */
public class Failures {
    public String causes(Object event) {
        try {
            throw new FileNotFoundException("no such file: \u00e9");
        } catch (FileNotFoundException missing) {
            throw new IllegalStateException("cannot go on", missing);
        }
    }

    public String checked(Object event) throws Exception {
        throw new Exception();
    }

    public String exit(Object event) {
        System.out.println("before the end");
        System.exit(3);
        return "never";
    }

    public String exhaust(Object event) {
        List<byte[]> all = new ArrayList<>();
        while (true) {
            all.add(new byte[1 << 20]);
        }
    }

    public Object cycle(Object event) {
        List<Object> itself = new ArrayList<>();
        itself.add(itself);
        return itself;
    }

    private String hidden(Object event) {
        return "never";
    }
}
