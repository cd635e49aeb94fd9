{{- /* Parts of expressions over a pod `p` and a container `c`, in the Common Expression Language. */ -}}

{{- /* Image prefixes as a list, without the slash at the end. */ -}}
{{- define "resnet-platform.prefixes" -}}
{{- $prefixes := list -}}
{{- range . }}{{ $prefixes = append $prefixes (trimSuffix "/" .) }}{{ end -}}
{{- toJson $prefixes -}}
{{- end -}}

{{- /* Secrets that runs may use, as JSON: those of the values and those of the defaults' secret-env and notify. */ -}}
{{- define "resnet-platform.allowedSecrets" -}}
{{- $names := .Values.admission.secrets -}}
{{- $references := index .Values.defaults "secret-env" | default dict -}}
{{- range $reference := kindIs "map" $references | ternary (values (kindIs "map" $references | ternary $references dict)) $references -}}
{{- $names = append $names (regexReplaceAll "^[^=]*=" $reference "" | splitList "/" | first) -}}
{{- end -}}
{{- with index .Values.defaults "notify" }}{{ $names = append $names (splitList "/" . | first) }}{{ end -}}
{{- $names | uniq | toJson -}}
{{- end -}}

{{- /* Fails where the team's default image is one that its own policy refuses. */ -}}
{{- define "resnet-platform.defaultImage" -}}
{{- $image := .Values.defaults.image -}}
{{- $allowed := or (not $image) (not .Values.admission.images) -}}
{{- range .Values.admission.images -}}
{{- $prefix := trimSuffix "/" . -}}
{{- $after := trimPrefix $prefix $image -}}
{{- if hasPrefix $prefix $image }}{{ if regexMatch "^($|/|@|:[^/]*$)" $after }}{{ $allowed = true }}{{ end }}{{ end -}}
{{- end -}}
{{- if not $allowed }}{{ fail (printf "admission.images: must allow defaults.image, got '%s'" $image) }}{{ end -}}
{{- end -}}

{{- /* Each way in which a pod refers to a Secret: (allowed names as JSON, the form over all containers). */ -}}
{{- define "resnet-platform.secrets" -}}
{{- $allowed := index . 0 -}}
{{- $env := printf "(!has(c.env) || c.env.all(e, !has(e.valueFrom) || !has(e.valueFrom.secretKeyRef) || e.valueFrom.secretKeyRef.name in %s))" $allowed -}}
{{- $from := printf "(!has(c.envFrom) || c.envFrom.all(e, !has(e.secretRef) || e.secretRef.name in %s))" $allowed -}}
{{- $secret := printf "(!has(v.secret) || v.secret.secretName in %s)" $allowed -}}
{{- $projected := printf "(!has(v.projected) || !has(v.projected.sources) || v.projected.sources.all(s, !has(s.secret) || s.secret.name in %s))" $allowed -}}
{{- $csi := printf "(!has(v.csi) || !has(v.csi.nodePublishSecretRef) || v.csi.nodePublishSecretRef.name in %s)" $allowed -}}
{{- $pull := printf "(!has(p.imagePullSecrets) || p.imagePullSecrets.all(s, s.name in %s))" $allowed -}}
{{- $volumes := printf "(!has(p.volumes) || p.volumes.all(v, %s && %s && %s))" $secret $projected $csi -}}
{{- printf "%s && %s && %s" (printf (index . 1) (printf "%s && %s" $env $from)) $volumes $pull -}}
{{- end -}}

{{- /* Kinds of volumes that stay within the pod, the namespace or a bucket: (allowed directories of the node). */ -}}
{{- define "resnet-platform.volumes" -}}
{{- $kinds := list "has(v.emptyDir)" "has(v.persistentVolumeClaim)" "has(v.ephemeral)" "has(v.configMap)" "has(v.secret)" "has(v.downwardAPI)" "has(v.projected)" -}}
{{- $kinds = append $kinds "(has(v.csi) && v.csi.driver == 'gcsfuse.csi.storage.gke.io')" -}}
{{- range . }}{{ $path := trimSuffix "/" . }}
{{- $kinds = append $kinds (printf "(has(v.hostPath) && !v.hostPath.path.contains('..') && (v.hostPath.path == %s || v.hostPath.path.startsWith(%s)))" (toJson $path) (toJson (print $path "/"))) -}}
{{- end -}}
{{- printf "!has(p.volumes) || p.volumes.all(v, %s)" (join " || " $kinds) -}}
{{- end -}}

{{- define "resnet-platform.isolated" -}}
{{- $security := "(!has(c.securityContext) || ((!has(c.securityContext.privileged) || !c.securityContext.privileged) && (!has(c.securityContext.capabilities) || !has(c.securityContext.capabilities.add) || size(c.securityContext.capabilities.add) == 0)))" -}}
{{- $ports := "(!has(c.ports) || c.ports.all(o, !has(o.hostPort) || o.hostPort == 0))" -}}
{{- $flags := list -}}
{{- range list "hostNetwork" "hostPID" "hostIPC" }}{{ $flags = append $flags (printf "(!has(p.%[1]s) || !p.%[1]s)" .) }}{{ end -}}
{{- printf "%s && %s" (join " && " $flags) (printf . (printf "%s && %s" $security $ports)) -}}
{{- end -}}
