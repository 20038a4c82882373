-- Sends every new series from Orthanc to the node, once no image has come for "StableAge" seconds.
-- Goes with orthanc-autoroute.json; both belong into Orthanc's configuration folder (Debian: /etc/orthanc).

local NODE = 'condyle'      -- the node's name in "DicomModalities"
local NODE_AET = 'CONDYLE'  -- its AE title: what it sent itself is not sent back to it
local MODALITIES = { MR = true, CR = true, DX = true, US = true, CT = true }

function OnStableSeries(seriesId, tags, metadata)
   if metadata['RemoteAET'] == NODE_AET or not MODALITIES[tags['Modality']] then
      return
   end
   -- one association for the whole series; in the background, so that Orthanc goes on receiving
   local job = { Resources = { seriesId }, Asynchronous = true }
   RestApiPost('/modalities/' .. NODE .. '/store', DumpJson(job, true))
end
