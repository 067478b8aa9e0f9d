// pgjdbc: unnamed then named statements, portals by fetch size, batches, binary results, COPY manager, cancel, notifications.

import java.io.ByteArrayOutputStream;
import java.io.StringReader;
import java.math.BigDecimal;
import java.nio.charset.StandardCharsets;
import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Savepoint;
import java.sql.Statement;
import java.sql.BatchUpdateException;
import java.time.LocalDate;
import java.time.OffsetDateTime;
import java.util.Arrays;
import java.util.Properties;
import java.util.UUID;
import org.postgresql.PGConnection;
import org.postgresql.PGNotification;
import org.postgresql.copy.CopyManager;

public final class Client {
  interface Part {
    void run() throws Exception;
  }

  static Connection connect(String... more) throws SQLException {
    Properties settings = new Properties();
    settings.setProperty("user", System.getenv("PGUSER"));
    settings.setProperty("password", System.getenv("PGPASSWORD"));
    settings.setProperty("ApplicationName", "pgjdbc rig");
    settings.setProperty("sslmode", System.getenv().getOrDefault("PGSSLMODE", "disable"));
    if (System.getenv("PGSSLROOTCERT") != null) {
      settings.setProperty("sslrootcert", System.getenv("PGSSLROOTCERT"));
    }
    for (int i = 0; i < more.length; i += 2) {
      settings.setProperty(more[i], more[i + 1]);
    }
    String url = "jdbc:postgresql://" + System.getenv("PGHOST") + ":" + System.getenv("PGPORT") + "/" + System.getenv("PGDATABASE");
    return DriverManager.getConnection(url, settings);
  }

  static void say(String step, Object... facts) {
    StringBuilder line = new StringBuilder("{\"step\": ").append(json(step));
    for (int i = 0; i < facts.length; i += 2) {
      line.append(", ").append(json(facts[i])).append(": ").append(json(facts[i + 1]));
    }
    System.out.println(line.append("}"));
  }

  static String json(Object value) {
    if (value == null || value instanceof Boolean || value instanceof Integer || value instanceof Long) {
      return String.valueOf(value);
    }
    StringBuilder out = new StringBuilder("\"");
    for (char c : String.valueOf(value).toCharArray()) {
      if (c == '"' || c == '\\') {
        out.append('\\').append(c);
      } else if (c < ' ') {
        out.append(String.format("\\u%04x", (int) c));
      } else {
        out.append(c);
      }
    }
    return out.append('"').toString();
  }

  static void failing(String step, Part part) throws Exception {
    try {
      part.run();
      say(step, "unexpected", "success");
    } catch (SQLException why) {
      say(step, "sqlstate", why.getSQLState(), "message", why.getMessage());
    }
  }

  static Object one(Connection c, String sql) throws SQLException {
    try (Statement s = c.createStatement(); ResultSet r = s.executeQuery(sql)) {
      r.next();
      return r.getObject(1);
    }
  }

  static void values(Connection c) throws Exception {
    Object[][] values = {
      {"boolean", true}, {"smallint", -32768}, {"integer", Integer.MAX_VALUE}, {"bigint", Long.MIN_VALUE},
      {"real", 1.5f}, {"double precision", -0.1d}, {"numeric", new BigDecimal("-12345678901234567890.123456789")},
      {"text", "Grüße, 世界 🦀 ' \\ \n"}, {"text", ""}, {"bytea", new byte[] {0, 1, (byte) 0xff}},
      {"uuid", UUID.fromString("6f2c9c6e-7d1b-4c5e-9a1f-0123456789ab")}, {"date", LocalDate.of(2024, 2, 29)},
      {"timestamptz", OffsetDateTime.parse("2026-03-01T02:00:00.000001Z")},
      {"integer[]", c.createArrayOf("int4", new Object[] {1, null, -3})}, {"text[]", c.createArrayOf("text", new Object[] {"a", "b\"c", ""})},
      {"integer", null},
    };
    for (Object[] pair : values) {
      try (PreparedStatement s = c.prepareStatement("select ?::" + pair[0])) {
        // Past the fifth run the driver turns to a named statement and binary results.
        for (int run = 0; run < 7; run++) {
          s.setObject(1, pair[1]);
          try (ResultSet r = s.executeQuery()) {
            r.next();
            Object got = r.getObject(1);
            String shown = got instanceof byte[] ? Arrays.toString((byte[]) got) : String.valueOf(got);
            if (run == 0 || run == 6) {
              say("type", "type", pair[0], "run", run, "value", shown);
            }
          }
        }
      }
    }
  }

  static void transactions(Connection c) throws Exception {
    try (Statement s = c.createStatement()) {
      s.execute("create temporary table t (id int primary key, note text)");
      c.setAutoCommit(false);
      s.executeUpdate("insert into t values (1, 'kept')");
      Savepoint before = c.setSavepoint();
      failing("duplicate", () -> s.executeUpdate("insert into t values (1, 'twice')"));
      failing("failed transaction", () -> s.executeQuery("select 1"));
      c.rollback(before);
      c.commit();
      s.executeUpdate("delete from t");
      c.rollback();
      say("rows", "count", one(c, "select count(*) from t"));
      c.commit();
      c.setAutoCommit(true);
    }
    try (PreparedStatement s = c.prepareStatement("insert into t values (?, ?)")) {
      for (int n = 10; n < 300; n++) {
        s.setInt(1, n);
        s.setString(2, "batch " + n);
        s.addBatch();
      }
      say("batch", "count", Arrays.stream(s.executeBatch()).sum());
      for (int n : new int[] {1000, 10, 1001}) {
        s.setInt(1, n);
        s.setString(2, "x");
        s.addBatch();
      }
      try {
        s.executeBatch();
      } catch (BatchUpdateException why) {
        say("batch failed", "sqlstate", why.getSQLState(), "counts", Arrays.toString(why.getUpdateCounts()));
      }
    }
    try (PreparedStatement s = c.prepareStatement("insert into t (id) values (?) returning id, note", Statement.RETURN_GENERATED_KEYS)) {
      s.setInt(1, 5000);
      s.execute();
      ResultSet r = s.getResultSet();
      say("returning", "id", r != null && r.next() ? r.getInt(1) : null);
    }
  }

  static void portals(Connection c) throws Exception {
    c.setAutoCommit(false);
    try (PreparedStatement s = c.prepareStatement("select n, md5(n::text) from generate_series(1, ?) n")) {
      s.setFetchSize(100);
      s.setInt(1, 1050);
      long total = 0;
      try (ResultSet r = s.executeQuery()) {
        while (r.next()) {
          total += r.getInt(1);
        }
      }
      say("portal", "total", total);
      try (ResultSet r = s.executeQuery()) {
        r.next();
        say("portal closed early", "first", r.getString(2));
      }
    }
    c.commit();
    c.setAutoCommit(true);
    try (Statement s = c.createStatement(); ResultSet r = s.executeQuery("select n, md5(n::text) from generate_series(1, 10000) n")) {
      int rows = 0;
      while (r.next()) {
        rows++;
      }
      say("large", "rows", rows);
    }
    try (Statement s = c.createStatement()) {
      boolean isRows = s.execute("select 1; insert into t values (7000, 'x'); select 2");
      StringBuilder seen = new StringBuilder();
      while (isRows || s.getUpdateCount() != -1) {
        seen.append(isRows ? "rows " : "count=" + s.getUpdateCount() + " ");
        isRows = s.getMoreResults();
      }
      say("several", "seen", seen.toString().trim());
    }
  }

  static void copies(Connection c) throws Exception {
    CopyManager copy = c.unwrap(PGConnection.class).getCopyAPI();
    try (Statement s = c.createStatement()) {
      s.execute("create temporary table c (a int, b text)");
    }
    say("copy in", "count", copy.copyIn("copy c from stdin", new StringReader("1\tone\n2\tü\n")));
    ByteArrayOutputStream out = new ByteArrayOutputStream();
    copy.copyOut("copy c to stdout (format csv)", out);
    say("copy out", "text", out.toString(StandardCharsets.UTF_8));
    failing("copy failed", () -> copy.copyIn("copy c from stdin", new StringReader("x\ty\n")));
  }

  static void cancel(Connection c, Connection other) throws Exception {
    try (Statement s = c.createStatement()) {
      Thread killer = new Thread(() -> {
        try {
          while ((Long) one(other, "select count(*) from pg_stat_activity where query = 'select pg_sleep(60)' and state = 'active'") == 0) {
            Thread.onSpinWait();
          }
          s.cancel();
        } catch (SQLException why) {
          throw new IllegalStateException(why);
        }
      });
      killer.start();
      failing("cancelled", () -> s.executeQuery("select pg_sleep(60)"));
      killer.join();
      s.setQueryTimeout(1);
      failing("timed out", () -> s.executeQuery("select pg_sleep(61)"));
    }
    say("after cancel", "value", one(c, "select 1"));
  }

  static void notifications(Connection c, Connection other) throws Exception {
    try (Statement s = c.createStatement(); Statement far = other.createStatement()) {
      s.execute("listen shelf");
      far.execute("notify shelf, 'hello'");
      PGNotification[] notes = c.unwrap(PGConnection.class).getNotifications(20000);
      say("notification", "name", notes[0].getName(), "payload", notes[0].getParameter());
      s.execute("do $$ begin raise warning 'careful'; end $$");
      say("warning", "message", s.getWarnings().getMessage(), "sqlstate", s.getWarnings().getSQLState());
    }
  }

  static void metadata(Connection c) throws Exception {
    try (Statement s = c.createStatement()) {
      s.execute("create schema jdbc; create table jdbc.thing (id int primary key, note varchar(10) not null)");
    }
    try (ResultSet r = c.getMetaData().getColumns(null, "jdbc", "thing", null)) {
      while (r.next()) {
        say("column", "name", r.getString("COLUMN_NAME"), "type", r.getString("TYPE_NAME"), "nullable", r.getString("IS_NULLABLE"));
      }
    }
    try (Statement s = c.createStatement()) {
      s.execute("drop schema jdbc cascade");
    }
  }

  public static void main(String[] args) throws Exception {
    try (Connection c = connect(); Connection other = connect()) {
      boolean pid = ((Integer) one(c, "select pg_backend_pid()")) == c.unwrap(PGConnection.class).getBackendPID();
      say("connected", "user", one(c, "select current_user"), "name", one(c, "select current_setting('application_name')"), "pid", pid);
      values(c);
      transactions(c);
      portals(c);
      copies(c);
      metadata(c);
      failing("unknown table", () -> one(c, "select * from nowhere"));
      notifications(c, other);
      cancel(c, other);
      try (Connection simple = connect("preferQueryMode", "simple")) {
        say("simple mode", "value", one(simple, "select 'simple'"));
      }
    }
  }
}
