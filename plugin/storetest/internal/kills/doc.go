// Package kills has the cases of grantstore.Kills: the stream of commits that kill access tokens (rule 15).
package kills
