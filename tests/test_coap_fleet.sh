#!/bin/bash
# Every reading of a fleet arrives exactly once, through loss. `make bench-coap` does the same with 500 sensors for 60 s.
# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"

# Sessions that are given up early, so that some readings come again in a new one.
forty_sensors() {
	bash tests/coap_fleet.sh 40 3 5 15% --ack-timeout 1 --max-retransmit 2
}

no_loss_is_no_test() {
	expect_status 1 bash tests/coap_fleet.sh 3 1 1 0%
	contains "$T/cmd.err" 'the link lost nothing: nothing was tried$'
}

t '40 sensors through 15 % loss: no reading is lost, none is doubled' forty_sensors
t 'a link that loses nothing shows nothing' no_loss_is_no_test
finish
