// Package keys holds the tests of root keys and master keys as operators see
// them: the real binary, a real HSM (SoftHSM2), kill -9 in the middle.
package keys
