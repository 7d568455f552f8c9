package tie

// Logout tokens as JWS.

import "github.com/go-jose/go-jose/v4"

// Sign returns claims as a compact JWS of typ "logout+jwt" (Back-Channel Logout 1.0, section 2.4).
func Sign(key jose.SigningKey, keyID string, claims []byte) (string, error) {
	options := (&jose.SignerOptions{}).WithType("logout+jwt")
	if keyID != "" {
		options = options.WithHeader("kid", keyID)
	}
	signer, err := jose.NewSigner(key, options)
	if err != nil {
		return "", err
	}
	signed, err := signer.Sign(claims)
	if err != nil {
		return "", err
	}
	return signed.CompactSerialize()
}
