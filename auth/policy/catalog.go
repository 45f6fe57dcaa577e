package policy

import "strings"

// actionsOf returns the names of a service's actions in lower case, or nil if
// the service is not one of those served here: of others nothing is known, and
// nothing is found wrong.
func actionsOf(service string) []string {
	switch service {
	case "secretsmanager":
		return strings.Fields(`batchgetsecretvalue cancelrotatesecret createsecret deleteresourcepolicy deletesecret
			describesecret getrandompassword getresourcepolicy getsecretvalue listsecrets listsecretversionids
			putresourcepolicy putsecretvalue removeregionsfromreplication replicatesecrettoregions restoresecret
			rotatesecret stopreplicationtoreplica tagresource untagresource updatesecret updatesecretversionstage
			validateresourcepolicy`)
	case "kms":
		return strings.Fields(`cancelkeydeletion connectcustomkeystore createalias createcustomkeystore creategrant
			createkey decrypt deletealias deletecustomkeystore deleteimportedkeymaterial derivesharedsecret
			describecustomkeystores describekey disablekey disablekeyrotation disconnectcustomkeystore enablekey
			enablekeyrotation encrypt generatedatakey generatedatakeypair generatedatakeypairwithoutplaintext
			generatedatakeywithoutplaintext generatemac generaterandom getkeypolicy getkeyrotationstatus
			getparametersforimport getpublickey importkeymaterial listaliases listgrants listkeypolicies
			listkeyrotations listkeys listresourcetags listretirablegrants putkeypolicy reencryptfrom reencryptto
			replicatekey retiregrant revokegrant rotatekeyondemand schedulekeydeletion sign synchronizemultiregionkey
			tagresource untagresource updatealias updatecustomkeystore updatekeydescription updateprimaryregion
			verify verifymac`)
	case "sts":
		return strings.Fields(`assumerole assumerolewithsaml assumerolewithwebidentity assumeroot decodeauthorizationmessage
			getaccesskeyinfo getcalleridentity getfederationtoken getservicebearertoken getsessiontoken
			setcontext setsourceidentity tagsession`)
	default:
		return nil
	}
}

// isSecretsKey reports whether a lower-case condition key of the
// "secretsmanager:" prefix exists.
func isSecretsKey(key string) bool {
	name := strings.TrimPrefix(key, "secretsmanager:")
	switch name {
	case "addreplicaregions", "blockpublicpolicy", "description", "externalsecretrotationrolearn",
		"forcedeletewithoutrecovery", "forceoverwritereplicasecret", "kmskeyarn", "kmskeyid", "modifyrotationrules",
		"name", "recoverywindowindays", "resource/allowrotationlambdaarn", "rotateimmediately", "rotationlambdaarn",
		"secretid", "secretprimaryregion", "type", "versionid", "versionstage":
		return true
	}
	tag, ok := strings.CutPrefix(name, "resourcetag/")
	return ok && tag != ""
}
