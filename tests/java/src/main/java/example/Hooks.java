package example;

import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import org.crac.Context;
import org.crac.Core;
import org.crac.Resource;

/** Hooks of SnapStart, by the library that AWS's documentation names. */
public class Hooks implements Resource {
    private final List<String> ran = new ArrayList<>();

    public Hooks() {
        Core.getGlobalContext().register(this);
        ran.add("init");
    }

    @Override
    public void beforeCheckpoint(Context<? extends Resource> context) {
        ran.add("before");
    }

    @Override
    public void afterRestore(Context<? extends Resource> context) {
        ran.add("after");
    }

    public List<String> handle(Map<String, Object> event) {
        return ran;
    }
}
