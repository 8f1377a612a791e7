# perl client.pl URL BODY_FILE HEADERS_AS_JSON HOW: prints the status of each of 3 POSTs, or why it was lost.
use strict;
use warnings;
use HTTP::Tiny;
use JSON::PP;

my ($url, $file, $headers) = @ARGV;
open(my $in, '<:raw', $file) or die $!;
my $body = do { local $/; <$in> };
for (1 .. 3) {
    my $answer = HTTP::Tiny->new(timeout => 90)->post($url, { headers => decode_json($headers), content => $body });
    (my $why = $answer->{content}) =~ s/\s+/ /g;
    print $answer->{status} == 599 ? "lost: $why\n" : "$answer->{status}\n";
}
