<?php
// php client.php URL BODY_FILE HEADERS_AS_JSON HOW: prints the status of each of 3 POSTs, or why it was lost.
[, $url, $file, $headers] = $argv;
$lines = [];
foreach (json_decode($headers, true) as $name => $value) $lines[] = "$name: $value";
for ($i = 0; $i < 3; $i++) {
  $http = ['method' => 'POST', 'header' => $lines, 'content' => file_get_contents($file), 'ignore_errors' => true, 'timeout' => 90];
  $http_response_header = null;
  @file_get_contents($url, false, stream_context_create(['http' => $http]));
  echo $http_response_header ? explode(' ', $http_response_header[0])[1] : 'lost: ' . error_get_last()['message'], "\n";
}
