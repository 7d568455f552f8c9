// Package testenv has helpers shared by the tests of several packages, such as disks and syncs that fail.
package testenv
