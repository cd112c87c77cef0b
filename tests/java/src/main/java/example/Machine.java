package example;

import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.lang.management.ManagementFactory;
import java.net.URL;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;

/** Tells about the JVM and its files. */
public class Machine {
    public Map<String, Object> describe(Object event) {
        Map<String, Object> said = new LinkedHashMap<>();
        said.put("version", System.getProperty("java.specification.version"));
        said.put("home", System.getProperty("java.home"));
        said.put("heapMiB", Runtime.getRuntime().maxMemory() >> 20);
        said.put("arguments", ManagementFactory.getRuntimeMXBean().getInputArguments());
        List<String> collectors = new ArrayList<>();
        ManagementFactory.getGarbageCollectorMXBeans().forEach(bean -> collectors.add(bean.getName()));
        said.put("collectors", collectors);
        said.put("directory", System.getProperty("user.dir"));
        said.put("charset", System.getProperty("file.encoding"));
        said.put("locale", Locale.getDefault().toString());
        said.put("execution", System.getenv("AWS_EXECUTION_ENV"));
        return said;
    }

    /** The content of a resource, as each place of the class path has it. */
    public List<String> resource(String name) throws IOException {
        List<String> contents = new ArrayList<>();
        for (URL url : Collections.list(Thread.currentThread().getContextClassLoader().getResources(name))) {
            try (BufferedReader reader =
                    new BufferedReader(new InputStreamReader(url.openStream(), StandardCharsets.UTF_8))) {
                contents.add(reader.readLine());
            }
        }
        return contents;
    }
}
