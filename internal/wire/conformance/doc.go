// Package conformance holds package wire against AWS's own Go SDK: its tests
// send each operation's generated inputs through the official client and
// compare what arrives on either side. It is apart from package wire because
// the clients take long to compile, EC2's above all. It has only tests.
package conformance
