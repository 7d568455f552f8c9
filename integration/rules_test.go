package integration

// Every rule of ARCHITECTURE.md has its tests.

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// For each rule, tests that fail if it is broken: functions, or cases of the conformance suite, by name. The
// list is not complete, but each of these must exist.
var rules = map[string][]string{
	"1. Ending is one bounded transaction, with its notifications": {
		"a session ends together with its notifications", "of many ends of one session one ends it",
		"ends by sid and by subject notify each client once",
		"a session with many grants ends and is counted completely", "TestInterruptedRemovalIsResumed",
		"TestEndingOfAllSurvivesKills", "TestTorture",
	},
	"2. No token outlives its session unnoticed": {
		"grants die with a session at its idle timeout", "grants die with an ended session",
		"nothing restores the grants of an ended session",
		"offline refresh tokens outlive a sign-out that keeps them",
		"kept tokens outlive the session, and codes never do",
		"tokens issued after a revocation survive, those before do not",
		"the end of a session races everything and leaves no token",
		"TestRemovalRacingCodeExchangeAndRefresh",
	},
	"3. Retries are safe": {
		"a repeated batch gets the same answer and applies nothing twice",
		"a repeated ending gets the same answer and queues nothing twice",
		"of many uses of one code one wins, and its family is revoked", "TestLostAnswers", "TestRefreshGrace",
		"TestCodeUsedTwiceRevokesTheFamily",
	},
	"4. A lost store is never \"not found\"": {
		"a cancelled call never returns ErrNotFound", "TestLostStoreIsNotSignedOut",
		"TestEveryEndpointWhenTheStoreIsUnavailable",
		"TestEveryEndpointWhenTheSessionHasEnded", "TestOutage",
	},
	"5. Query": {
		"pages by subject", "a token of a different filter or order is refused",
		"the token of a page whose rows are gone works in both directions",
		"the token of the empty last page finds later rows", "TestSubstringWalkIsBounded",
		"TestPagingOverHTTP", "TestQueriesFindEachSession",
	},
	"6. Remove": {
		"each combination of flags has its effect, by sid",
		"each combination of flags has its effect, by subject",
		"the session ends, and only the named client is revoked and notified",
		"a dry run counts narrowed endings too",
		"TestRemovalEndsExactlyWhatItNames", "TestRemovalRefusesBadInput",
	},
	"7. Notify": {
		"TestBackChannelLogout_2_4_Claims", "TestBackChannelLogout_2_5_Request",
		"TestDeliveredAtTheThirdAttempt",
		"TestRetryAfter", "TestOutcome", "TestClaimAfterTheRetryWindow",
		"TestHangingClientDelaysNoOther", "TestRebinding",
		"a client that used the session recently is notified again",
		"an answer under an outdated claim changes nothing", "TestKilledBetweenRemovalAndDelivery",
	},
	"8. Expiry": {
		"TestRule8_ExpiryIsDrivenByTheNextDueTime", "TestRule8_TwoHostsEndASessionOnce",
		"TestRule8_SweepAndBrowsersEndASessionOnce",
		"TestRule8_ShorterSessionsOfAnotherHost", "TestRule8_ClockSetBack",
		"TestSweepSkipsRenewedSessions", "TestWhoIsNotifiedOfExpiry",
		"a sweep ends a bounded number, in the order of their due times",
		"a sweep races a renewal and the session is ended or renewed",
		"a renewed session ends only when it is due",
		"TestOfflineRefreshTokenSurvivesAnUnsweptExpiry",
	},
	"9. Inactivity": {
		"TestRule9_ClientsThatCoordinateKeepTheSessionAlive", "TestSliding", "TestFailedRenewal",
		"no renewal passes the absolute limit",
		"a session at its expiry is expired", "a session slides with a batch, within the throttle",
	},
	"10. Replacement": {
		"TestRule10_EverySignInChangesTheSecret", "TestRule10_TwoUsersSignInOverOneSession",
		"TestRule10_FailedReplacementSignsNoUserIn",
		"TestRule10_StepUpOfTheSameUserKeepsTheSid", "TestReplacement", "TestConcurrentStepUps",
	},
	"11. The host keeps serving": {
		"TestPluginIsKilled", "TestHungPluginIsReplaced", "TestCallsWaitDuringAFailedStart",
		"TestHostIsKilled", "TestTorture",
	},
	"12. Swap": {
		"TestSwapWhileUsersWork", "TestSwapKilledHalfWay", "TestSwapUnderLoad", "TestSwapIsAborted",
		"TestHostStartsOnTheServingBackend",
	},
	"13. Whose it is": {
		"TestOtherIssuerIsRefused", "TestFormerIssuer", "TestUntrustedStoreReturnsAnotherGrant",
		"TestRule13_VisiblePropertiesBelongToTheirSession",
	},
	"14. Several hosts": {"TestTwoServersOnOneDatabase", "TestRule8_TwoHostsEndASessionOnce"},
	"15. Acknowledged is ended, also from a cache": {
		"TestRule15_AcknowledgedIsEndedInTheCache", "TestKillsRemoveCopies", "TestModel",
	},
}

// Every rule has its tests.
func TestRulesHaveTheirTests(t *testing.T) {
	t.Parallel()
	there := map[string]bool{}
	declaration := regexp.MustCompile(`(?m)^func (Test\w+)\(|\{Name: "([^"]+)", Run: `)
	err := filepath.WalkDir("..", func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || !strings.HasSuffix(path, ".go") {
			return err
		}
		source, err := os.ReadFile(path)
		for _, match := range declaration.FindAllSubmatch(source, -1) {
			there[string(match[1])+string(match[2])] = true
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for rule, tests := range rules {
		for _, name := range tests {
			if !there[name] {
				t.Errorf("rule %s: %s does not exist", rule, name)
			}
		}
	}
}
