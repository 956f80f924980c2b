# ends: done
print('step 10')
