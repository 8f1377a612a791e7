# ruby client.rb URL BODY_FILE HEADERS_AS_JSON HOW: prints the status of each of 3 POSTs, or why it was lost.
require 'json'
require 'net/http'
url, file, headers = URI(ARGV[0]), ARGV[1], JSON.parse(ARGV[2])
3.times do
  begin
    puts Net::HTTP.start(url.host, url.port, read_timeout: 90, max_retries: 0) { |http| http.post(url.request_uri, File.binread(file), headers).code }
  rescue StandardError => error
    puts "lost: #{error.class}"
  end
end
