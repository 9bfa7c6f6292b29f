import { Button, Group, Progress, Stack, Text } from "@mantine/core"

type Props = { percent: number; onCancel: () => void }

/** The progress of an upload. */
export function UploadProgress({ percent, onCancel }: Props) {
  return (
    <Stack gap={4}>
      <Progress value={percent} aria-label="Upload" />
      <Group justify="space-between">
        <Text size="sm" c="dimmed">
          {percent < 100 ? `Uploading photo: ${percent}%` : "Saving photo…"}
        </Text>
        <Button variant="subtle" size="compact-sm" onClick={onCancel}>
          Cancel
        </Button>
      </Group>
    </Stack>
  )
}
