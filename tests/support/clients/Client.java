// java Client.java URL BODY_FILE HEADERS_AS_JSON HOW: prints the status of each of 3 POSTs, or why it was lost.
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.nio.file.Path;
import java.util.regex.Pattern;

class Client {
  public static void main(String[] arguments) throws Exception {
    var client = HttpClient.newHttpClient();
    for (int i = 0; i < 3; i++) {
      var request = HttpRequest.newBuilder(URI.create(arguments[0]))
          .POST(HttpRequest.BodyPublishers.ofFile(Path.of(arguments[1])));
      var header = Pattern.compile("\"([^\"]+)\": \"([^\"]+)\"").matcher(arguments[2]);
      while (header.find()) request.header(header.group(1), header.group(2));
      try {
        System.out.println(client.send(request.build(), HttpResponse.BodyHandlers.ofString()).statusCode());
      } catch (Exception error) {
        System.out.println("lost: " + error);
      }
    }
  }
}
