{{- /* The start of a ValidatingAdmissionPolicy and its binding to the namespace: (root, name). Both are of the whole
cluster, so the namespace is in their name. */ -}}
{{- define "resnet-platform.policyMetadata" -}}
name: {{ index . 1 }}-{{ include "resnet-platform.namespace" (index . 0) }}
labels:
  {{- include "resnet-platform.labels" (index . 0) | nindent 2 }}
{{- end -}}

{{- define "resnet-platform.binding" -}}
{{- $namespace := include "resnet-platform.namespace" (index . 0) }}
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicyBinding
metadata:
  {{- include "resnet-platform.policyMetadata" . | nindent 2 }}
spec:
  policyName: {{ index . 1 }}-{{ $namespace }}
  validationActions: [Deny]
  matchResources:
    namespaceSelector:
      matchLabels:
        kubernetes.io/metadata.name: {{ $namespace }}
{{- end -}}
