#!/usr/bin/perl
# tap.pl udp|tcp PORT FILE: carries what one client and the server at 127.0.0.1:PORT say, and writes it to FILE as a
# capture (pcap, raw IPv4) in which that server has port 4433. Unlike dumpcap(1) it needs no privilege.
use strict;
use warnings;
use IO::Handle;
use IO::Select;
use IO::Socket::INET;

use constant { CLIENT_PORT => 40000, SERVER_PORT => 4433, AT_ONCE => 16384 };

my ($protocol, $port, $path) = @ARGV;
my $is_tcp = $protocol eq 'tcp';
my %sent = (to_server => 0, to_client => 0); # bytes of the stream so far, for TCP's sequence numbers

open(my $file, '>:raw', $path) or die "$path: $!\n";
$file->autoflush(1);
print $file pack('LSSlLLL', 0xa1b2c3d4, 2, 4, 0, 0, 65535, 101);

sub transport_header {
	my ($way, $length) = @_;
	my @ports = $way eq 'to_server' ? (CLIENT_PORT, SERVER_PORT) : (SERVER_PORT, CLIENT_PORT);
	my $back = $way eq 'to_server' ? 'to_client' : 'to_server';

	return pack('nnnn', @ports, 8 + $length, 0) unless $is_tcp;
	return pack('nnNNCCnnn', @ports, 1 + $sent{$way}, 1 + $sent{$back}, 5 << 4, 0x18, 65535, 0, 0);
}

sub record {
	my ($way, $bytes) = @_;
	my $packet = transport_header($way, length $bytes) . $bytes;

	$packet = pack('CCnnnCCna4a4', 0x45, 0, 20 + length $packet, 0, 0, 64, $is_tcp ? 6 : 17, 0,
		"\x7f\0\0\1", "\x7f\0\0\1") . $packet;
	print $file pack('LLLL', time, 0, length $packet, length $packet), $packet;
	$sent{$way} += length $bytes;
}

my %here = (LocalAddr => '127.0.0.1', LocalPort => 0, Proto => $protocol);
my %there = (PeerAddr => '127.0.0.1', PeerPort => $port, Proto => $protocol);
my $listener = IO::Socket::INET->new(%here, $is_tcp ? (Listen => 1) : ()) or die "cannot listen: $@\n";
print STDERR 'listening on 127.0.0.1:', $listener->sockport, "\n";

my $client = $is_tcp ? $listener->accept : $listener;
my $server = IO::Socket::INET->new(%there) or die "cannot connect: $@\n";
my $select = IO::Select->new($client, $server);
my $client_address;

while ($select->count > 0) {
	for my $from ($select->can_read) {
		my $way = $from == $client ? 'to_server' : 'to_client';
		my $address = $from->recv(my $bytes, AT_ONCE);

		if ($is_tcp && $bytes eq '') {
			$select->remove($from);
			($from == $client ? $server : $client)->shutdown(1);
			next;
		}
		record($way, $bytes);
		$client_address = $address if $way eq 'to_server';
		if ($way eq 'to_server') {
			$server->send($bytes);
		} elsif ($is_tcp) {
			$client->send($bytes);
		} else {
			$client->send($bytes, 0, $client_address);
		}
	}
}
