// Runs those of the named JUnit classes that have tests, and says of each test `ok NAME`, `not ok NAME: why` or `skip NAME: why`.

import java.lang.reflect.Modifier;
import java.util.Arrays;
import java.util.HashSet;
import java.util.Set;
import org.junit.Test;
import org.junit.runner.Description;
import org.junit.runner.JUnitCore;
import org.junit.runner.notification.Failure;
import org.junit.runner.notification.RunListener;

public class Run {
    static final int CLASS_MS_MAX = 300_000;
    // What the stand-in for make says where it may not restart the broker.
    static final String STAYS_UP = "a given broker is not restarted";
    static final Set<String> said = new HashSet<>();

    public static void main(String[] names) throws Exception {
        JUnitCore core = new JUnitCore();
        core.addListener(new RunListener() {
            @Override public void testFailure(Failure failure) {
                boolean mayNot = String.valueOf(failure.getMessage()).contains(STAYS_UP);
                say(mayNot ? "skip" : "not ok", failure.getDescription(), failure.getException());
                if (!mayNot) System.out.println(failure.getTrace());
            }

            @Override public void testAssumptionFailure(Failure failure) { say("skip", failure.getDescription(), failure.getException()); }

            @Override public void testIgnored(Description description) { say("skip", description, null); }

            @Override public void testFinished(Description description) { say("ok", description, null); }
        });
        for (String name : names) {
            Class<?> tests = Class.forName(name);
            if (!hasTests(tests)) continue;
            Thread thread = new Thread(() -> core.run(tests));
            thread.setDaemon(true);
            thread.start();
            thread.join(CLASS_MS_MAX);
            if (thread.isAlive()) {
                say("not ok", Description.createTestDescription(tests, "ends in time"), null);
                for (StackTraceElement element : thread.getStackTrace()) System.out.println("    " + element);
            }
        }
        // Clients that tests left open have threads that would go on.
        Runtime.getRuntime().halt(0);
    }

    static boolean hasTests(Class<?> type) {
        return !Modifier.isAbstract(type.getModifiers())
            && Arrays.stream(type.getMethods()).anyMatch(method -> method.isAnnotationPresent(Test.class));
    }

    // The first word on a test is the last: one that failed is also finished.
    static synchronized void say(String word, Description description, Throwable why) {
        String type = description.getClassName();
        String test = description.getMethodName() == null ? "class" : description.getMethodName();
        String name = type.substring(type.lastIndexOf('.') + 1) + "." + test;
        if (said.add(name)) {
            System.out.println("\n" + word + " " + name + (why == null ? "" : ": " + String.valueOf(why).replace('\n', ' ')));
        }
    }
}
